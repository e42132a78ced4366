# "Transcribe with Panotti" in Explorer's menu, for the current user. Explorer starts it once for each chosen file.
param(
    [Parameter(Mandatory)] [string] $Program,
    [switch] $Remove
)

foreach ($kind in 'audio', 'video') {
    $verb = "HKCU:\Software\Classes\SystemFileAssociations\$kind\shell\Panotti"
    if ($Remove) {
        Remove-Item $verb -Recurse -ErrorAction SilentlyContinue
        continue
    }
    New-Item $verb -Force -Value 'Transcribe with Panotti' | Out-Null
    New-Item "$verb\command" -Force -Value "`"$Program`" -P -m panotti_daemon desktop transcribe `"%1`"" | Out-Null
}

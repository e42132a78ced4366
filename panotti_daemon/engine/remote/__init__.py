"""The second engine: servers that speak OpenAI's `/v1/audio/transcriptions`, for those who have a machine with a GPU.

    daemon   transcriber.py   chooses, for each recording, between the servers and this machine
    child    job.py           finds the speech, sends it in parts, puts the answers together
             fleet.py         which server is next
             calls.py         one part, one server
             packing.py, answers.py, languages.py   what goes out and what comes back

Nothing of this is loaded before a server is written down in the settings.
"""

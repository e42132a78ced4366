class NoServer(Exception):
    """Nobody shows notifications; the message says why"""


class NoDesktop(NoServer):
    """And nobody could, here"""

"""The engine on psutil, for macOS, Windows and BSD."""

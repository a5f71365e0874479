"""What ``reliability.py`` asks: the processes, the undisturbed run, and one file for each kind of trouble."""

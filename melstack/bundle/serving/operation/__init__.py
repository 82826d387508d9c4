"""What an engineer needs of the server: connections, signals, access, measurements and the log of requests."""

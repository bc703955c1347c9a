"""One-time pad of files and streams: the `SQOTP2` format, resumed files, the hybrid with AES."""

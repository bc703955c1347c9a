"""What seals bytes (AES-256-GCM), and what unlocks a store: a key file, a passphrase or a command."""

"""Keys with ids for applications, out of stretches reserved ahead: what a key server draws from."""

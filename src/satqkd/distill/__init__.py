"""Both ends of the distillation as sans-I/O machines, one per stage; `session` routes between them."""

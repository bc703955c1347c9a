"""Hot loops on arrays, each with a plain twin beside it. Import the module you need; numba loads with it."""

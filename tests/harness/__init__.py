"""What the end-to-end tests are made of: the real binary, real and scripted miners, raw HTTP."""

"""One recorded or live format a file; each is a pure function from bytes to arrays of EVENT."""

-- The version of xpm; the Makefile reads it from here.
return "0.1.0"

"""The endpoints, a chapter a file. Each chapter is a class that is given what it needs and lists what it offers."""

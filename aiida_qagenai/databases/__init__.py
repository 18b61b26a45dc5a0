"""External databases, their merge, their server, and training sets as views of the graph."""

"""npm's own socket.io, as a platform."""

"""Every byte layout and every protobuf message that is stored, published or received."""

"""What a picture has been through, estimated from itself."""

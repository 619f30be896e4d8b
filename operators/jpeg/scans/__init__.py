"""The scans of a JPEG file: segments, Huffman codes, blocks and bands."""

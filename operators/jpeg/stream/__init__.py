"""The bytes of a JPEG file: its segments, its Huffman codes and the scans that they make (ITU T.81)."""

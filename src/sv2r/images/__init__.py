"""Pictures and label maps as pixels: decode, encode, pad and crop back, write in one step."""

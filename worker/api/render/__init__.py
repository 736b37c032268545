"""Images and containers as the Engine API shows them."""

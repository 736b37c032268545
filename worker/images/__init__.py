"""Images: archives in, layers and root file systems out."""

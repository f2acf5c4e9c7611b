"""Where contacts come from: files, streams, iterables."""

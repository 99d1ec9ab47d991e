"""Where the numbers of a run go while it trains: TensorBoard, progress on the terminal."""

"""What every stage of the daily graph costs as the log grows: wall time, CPU seconds and memory."""

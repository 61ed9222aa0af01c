"""What is sent to change something at a panel, on the disk before it is sent."""

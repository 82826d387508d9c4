"""What of this machine is ours: cores, memory, disk, and the pools of processes that use them."""

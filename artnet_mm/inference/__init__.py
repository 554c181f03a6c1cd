"""What is done with a trained network and videos of one's own, without MMEngine's Runner."""

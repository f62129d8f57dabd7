"""What a learned policy is truly worth on people whose truth is known."""

"""What remakes files of this repository; each is run by a make target."""

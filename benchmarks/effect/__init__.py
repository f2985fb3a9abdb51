"""What layers and actions do to a training: accuracy, loss, and the share they drop."""

"""Networks: the zoo of backbones as a table (`zoo`), their weights (`weights`), and one builder for all (`build`)."""

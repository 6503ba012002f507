"""The last mile: the data down, the submission up, the score back, on Kaggle or on the practice leaderboard."""

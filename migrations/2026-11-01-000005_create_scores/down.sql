DROP TABLE unsent_scores;
DROP TABLE leaderboard;
DROP TABLE scores;

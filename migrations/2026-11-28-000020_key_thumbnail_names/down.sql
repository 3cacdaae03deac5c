-- Thumbnails are found by the names in their rows, so that the files keep theirs.
DROP TABLE thumbnail_name_key;

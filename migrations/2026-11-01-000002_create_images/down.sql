DROP TABLE thumbnails;
DROP TABLE images;

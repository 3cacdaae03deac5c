DROP TABLE fulfilments;
DROP TABLE asset_references;
DROP TABLE assets;

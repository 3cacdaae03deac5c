-- Where mail for the user goes; NULL where nobody has said.
ALTER TABLE users ADD COLUMN email TEXT;

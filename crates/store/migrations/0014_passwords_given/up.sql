-- Whether somebody else has set the password: then it is good for choosing one's own, and for nothing more.

ALTER TABLE people ADD COLUMN password_given BOOLEAN NOT NULL DEFAULT FALSE;

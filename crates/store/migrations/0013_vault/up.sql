-- Where the private half of a signing key is, when it is not sealed in the books: the name of a vault.

ALTER TABLE signing_keys ADD COLUMN vault TEXT;

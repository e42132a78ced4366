-- An output's folder stands in its path.

ALTER TABLE outputs DROP COLUMN folder;

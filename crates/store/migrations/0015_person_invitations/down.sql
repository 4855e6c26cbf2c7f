-- Promises are not taken back: there is no way down, restore a backup instead.
SELECT 1;

-- Whether an attempt is found again on its host when its connection or its engine ends first.
ALTER TABLE attempts ADD COLUMN hold text NOT NULL DEFAULT 'plain' CHECK (hold IN ('held', 'plain', 'weak'));

-- What was drawn of each budget in each of its periods, by all gateways of a fleet: spent, or about to be.
CREATE TABLE pointsman_budgets (
    fleet   text     NOT NULL,
    quota   text     NOT NULL,
    subject text     NOT NULL,
    every   text     NOT NULL,
    -- Seconds since 1970.
    begins  bigint   NOT NULL,
    ends    bigint   NOT NULL,
    -- Billionths of a USD.
    drawn   bigint   NOT NULL DEFAULT 0,
    -- Which alerts were told: 1 for the share that is to be told, 2 for all of it.
    told    smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (fleet, quota, subject, every, begins)
);

-- Gateways, and when each was heard last.
CREATE TABLE pointsman_gateways (
    fleet   text        NOT NULL,
    gateway text        NOT NULL,
    heard   timestamptz NOT NULL,
    PRIMARY KEY (fleet, gateway)
);

-- The admission keys of a fleet, as the keys file has them.
CREATE TABLE pointsman_keys (
    fleet   text   NOT NULL PRIMARY KEY,
    -- One more with each change.
    version bigint NOT NULL,
    file    text   NOT NULL
);

"""Events become numbers; the numbers are told to Redis and recorded in ClickHouse."""

"""Kafka frames become events: the shapes, the feeds, the market and the door to Kafka."""

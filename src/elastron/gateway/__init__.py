"""The gateway: one address before a fleet of nodes. Places, queues, keeps and replays scans."""

"""What agents may see and do: the work behind the tools of scripts/mcp_server.py and of the hook."""

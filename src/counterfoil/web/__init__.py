"""What the world sees over HTTP: endpoints, their OpenAPI, who may call them, pages, events and metrics."""

"""Ways in and out that are not a browser: webhooks here, later USSD, SMS and push. Each is one file; none moves money itself."""

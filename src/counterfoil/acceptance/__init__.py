"""What a merchant takes money with: codes to scan, tills with their clerks and goods, sales and days."""

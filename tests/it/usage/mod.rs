mod model_prices;

"""Sankhya: sessions that we hold with the ERP."""
